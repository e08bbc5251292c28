//! Git LFS pointers in place of files.
