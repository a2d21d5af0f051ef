// Package forward passes requests of clients on to the server that owns what they are for, when several servers share a
// database.
//
// A request is tried here first. If the engine says that another server owns what it is for, nothing has been done, and the
// request goes to the owner, one hop: the owner carries it out or says that it is not the owner, and never passes it on. A
// request is sent again when it is unknown whether it was carried out only if that has no second effect.
//
// The package knows nothing of the operations but what [Rules] say.
package forward
