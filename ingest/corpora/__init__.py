"""Ten corpora, one parser file each; the file name is the registration."""
