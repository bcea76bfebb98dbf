"""Log lines -> Columns under ECS names. `parser.LogParser` is the way in; `formats` names what there is."""
