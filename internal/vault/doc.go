// Package vault stores secrets: values that runs may send but never see.
//
// It hides where keys come from and how values are encrypted. AES-256-GCM authenticates name and hosts together with
// the value, so nobody who can write the database can redirect a secret. A value leaves the package only through
// [Vault.Open]. A crash at any time, also during a key rotation, loses no secret. The package never writes a value to
// a log or an error.
package vault
