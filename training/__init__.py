"""Makes the files of numbers and words that the package ships; no part of it."""
