"""The sections of the page. Each module has functions ``…_section`` that return HTML, or "" where there is nothing to show."""
