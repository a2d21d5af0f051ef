// Package upgrade moves open runs to other code: each is replayed with it first, and goes on there only if the code asks for
// everything that its log says, in the same order.
package upgrade
