"""The store of what encoders give, by clip id: ``store`` of append-only ``shards``, and ``arrays`` written from it."""
