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
// lets its finder in, until it expires or is revoked; a code that leaks afterwards opens the first door only.
//
// # Who is put out
//
// The founder, and members that it names, put a member out by a change: a signed statement that names the change before
// it, so that all changes form one row, with a new network key sealed to each who remains. Where two rows exist every
// node follows the same one (see changes), and who made a change that is only in the other makes it again. A host
// accepts former keys over TCP for one purpose: to hand the row and the key over to a member that was away
// (/shoal/handover/1). Invites of before are void. A PC that was put out is not told: it finds nobody any more. A PC
// that leaves forgets the swarm; the others go on to list it. The swarm goes on without its founder: whom it named can
// still put members out.
//
// # Protocols
//
// README.md has them byte by byte.
//
//	/shoal/member/1     greeting: admissions, clock, newest change; then, among members, the announcement
//	/shoal/join/1       an invite is shown
//	/shoal/handover/1   the row of changes
//	/shoal/announce/1   gossip: what nodes tell of themselves
//	/shoal/admit/1      gossip: new members
package swarm

//go:generate ../../packaging/protoc.sh wire/pipeline.proto wire/shard.proto record/record.proto
