"""Documents and this machine in, a generation out; also in a worker process, in images and at first boot."""
