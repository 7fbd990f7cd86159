// Package netns is a laboratory of networks on one PC: network namespaces joined by wires that can be cut, slowed down
// and made to lose packets, and routers that translate addresses. Real nodes run in it.
//
// The laboratory lies in namespaces of its own, so that nothing of it touches the networks of the PC, and the kernel
// takes everything down when the program ends, the nodes too. It needs Linux with the commands ip and nft, and either root or
// the right to make user namespaces.
package netns
