"""The report of a run, one self-contained page: ``page.build_report`` makes it, ``snapshot`` keeps what it shows."""
