"""The configuration: what may be set, and the four sources that set it.

`schema` holds the classes and their documentation, `sources` makes one map of all sources, `structure` turns the map
into classes and tells every mistake in it. Only `structure` and `schema` import attrs and cattrs, only `yamlfile`
imports yaml: a rerun that finds all states done must not pay for them.
"""
