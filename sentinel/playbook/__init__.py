"""Playbooks: one file that on-call runs for real and the scheduled drill runs in a sandbox (DESIGN, decision 9).

`book` reads the files, `facts` says what a job's settings offer to them, `engine` runs, resumes and records,
`show` renders for a person whose Sentinel is broken.
"""
