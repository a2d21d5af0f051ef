// Package vault keeps secrets: values that runs may send and never see.
//
// It hides where keys come from and how values are sealed (AES-256-GCM; name and hosts are bound to
// the value, so that nobody who can write the database sends a secret elsewhere). It guarantees that
// a value leaves it only through [Vault.Open], and that a crash at any moment, also in the middle of
// a change of keys, loses no secret. It never writes a value to a log or into an error.
package vault
