"""Commands on files with documents: render, boot scripts, validate, match, import."""
