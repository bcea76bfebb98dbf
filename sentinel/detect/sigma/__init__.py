"""Sigma: rules, filters and correlations over columns of log lines.

    read.py      YAML -> tree.Rule and tree.Correlation (the only importer of pySigma)
    tree.py      what a rule says: conditions over tests of fields
    predicate.py one test of one value, and what Hyperscan may look for in its stead
    screen.py    all rules of a log source -> one Hyperscan pass a column -> candidate rows of each rule
    evaluate.py  a condition over many rows at once, as boolean masks
    correlate.py events of rules -> windows by event time -> findings
    engine.py    Columns -> Alerts

Invariant: the screen may over-report rows, never under-report; evaluate alone decides.
"""
