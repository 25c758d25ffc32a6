"""The command line: ``main`` finds and runs the verb, ``flags`` makes options of configs, ``aliases`` reads old spellings.

Every other file is a verb or a family of verbs: options in, a config out, the answer on stdout.
"""
