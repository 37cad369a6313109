"""What prefilling apart from decoding does to the streams that run, in virtual time. Begin with compare.py."""
