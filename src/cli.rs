//! The command line: arguments of every role, and what each starts.
