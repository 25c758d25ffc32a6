"""``auricle advise``: ``facts`` collects what is known, ``rules`` holds the guide as data, ``advise`` decides.

``cost`` estimates memory and time, ``proposal`` writes reasons and commands.
"""
