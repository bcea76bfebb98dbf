"""Columns computed from the columns of a log format: Sigma's names, decoded requests, shop actions, personal data.

attach.py    joins all of it to a batch's Columns; nothing is computed until a rule asks
taxonomy.py  Sigma's field names -> ECS columns; path, query and extension of the target
decoding.py  percent, plus, HTML entities, escapes, overlong UTF-8 -> what the application saw
command.py   the request without what a shell drops from words -> request.command
shop.py      URL -> shop.action (login, cart, coupon ...) by a site's vocabulary
personal.py  resident IDs, card and mobile numbers, e-mail addresses -> pii.* and masked forms
"""
