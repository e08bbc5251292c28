//! The order and the names of a dataset's and a head's labels.
