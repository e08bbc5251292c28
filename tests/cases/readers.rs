//! Files of data in many dialects.
