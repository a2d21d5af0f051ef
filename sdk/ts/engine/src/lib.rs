//! Nothing: this package only names sources.
