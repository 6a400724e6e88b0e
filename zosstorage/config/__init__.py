"""The configuration: what may be set, and the four sources that set it.

`schema` holds the classes and their documentation, `sources` makes one map of all sources, `build` turns the map into
classes, and where it cannot, `structure` tells every mistake in it. Only `structure` imports cattrs, only `yamlfile`
imports yaml: a rerun that finds all states done must not pay for them.
"""
