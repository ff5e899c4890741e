"""Commands about Run documents: submit, log, import of job scripts."""
