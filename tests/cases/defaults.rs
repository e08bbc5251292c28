//! Methods whose trimming is off by default, and options that cannot act in a call.
