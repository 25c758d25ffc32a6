"""The published weights as data: one file of records per project, the table of all, and the reader of their files."""
