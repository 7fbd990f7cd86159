// Package swarm is the node's place among other nodes: a libp2p host that only speaks to holders of the network key,
// finds peers on the LAN and far away, knows who belongs, and tells what it has to offer.
//
// # Who may come in
//
// Three doors stand one behind the other. The network key is mixed into every handshake, so a stranger sees neither
// protocol nor peer. A member shows its admission: a record signed by a member whose own admission leads back to the
// founder, who made the key; a peer that shows none in a few seconds is put out and none of its streams are served.
// A peer that misbehaved is refused for an hour.
//
// An invite code carries the network key and a secret that its issuer takes once. A code that leaks before it is used
// lets its finder in, until it expires or is revoked; a code that leaks afterwards opens the first door only. A key
// cannot be changed without making a new swarm.
package swarm
