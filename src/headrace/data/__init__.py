"""DATA: journal, ledger, counters, vectors, blobs."""
