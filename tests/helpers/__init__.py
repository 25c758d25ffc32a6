"""Builders and readers that several test modules share."""
