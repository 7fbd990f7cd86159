package store

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Invite is an invite that this node wrote.
type Invite struct {
	ID         string
	SecretHash []byte
	Created    time.Time
	Expires    time.Time
	Revoked    bool
	UsedBy     core.PeerID // zero until somebody joined with it
	UsedAt     time.Time
	Nickname   string // of who joined
}

const inviteColumns = "id, secret_hash, created, expires, revoked, used_by, used_at, nickname"

// maxInvites bounds how many invites are kept; the oldest go first.
const maxInvites = 1000

// AddInvite keeps a new invite.
func (s *Store) AddInvite(ctx context.Context, i Invite) error {
	err := s.exec(ctx, "add invite", "INSERT INTO invite (id, secret_hash, created, expires) VALUES (?, ?, ?, ?)",
		i.ID, i.SecretHash, i.Created.Unix(), i.Expires.Unix())
	if err != nil {
		return err
	}
	return s.exec(ctx, "trim invites", `DELETE FROM invite WHERE id IN
		(SELECT id FROM invite ORDER BY created DESC, id LIMIT -1 OFFSET ?)`, maxInvites)
}

// Invites returns the invites, newest first.
func (s *Store) Invites(ctx context.Context) ([]Invite, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT "+inviteColumns+" FROM invite ORDER BY created DESC, id")
	if err != nil {
		return nil, fmt.Errorf("store: invites: %w", err)
	}
	defer rows.Close()
	var out []Invite
	for rows.Next() {
		i, err := scanInvite(rows)
		if err != nil {
			return nil, fmt.Errorf("store: invites: %w", err)
		}
		out = append(out, i)
	}
	return out, rows.Err()
}

func scanInvite(row interface{ Scan(...any) error }) (i Invite, err error) {
	var created, expires, usedAt int64
	var usedBy string
	if err := row.Scan(&i.ID, &i.SecretHash, &created, &expires, &i.Revoked, &usedBy, &usedAt, &i.Nickname); err != nil {
		return Invite{}, err
	}
	i.Created, i.Expires = time.Unix(created, 0), time.Unix(expires, 0)
	if usedBy != "" {
		i.UsedAt = time.Unix(usedAt, 0)
		i.UsedBy, err = core.ParsePeerID(usedBy)
	}
	return i, err
}

// RevokeInvite makes an invite worthless. The error has code CodeNotFound when there is none of that id and
// CodeConflict when somebody joined with it already.
func (s *Store) RevokeInvite(ctx context.Context, id string) error {
	return s.invite(ctx, id, func(tx *sql.Tx, i Invite) error {
		if !i.UsedBy.IsZero() {
			return core.Errorf(core.CodeConflict, "invite %s has been used by %s", id, i.UsedBy)
		}
		_, err := tx.ExecContext(ctx, "UPDATE invite SET revoked = 1 WHERE id = ?", id)
		return err
	})
}

// UseInvite marks an invite as used by a peer, once: of two peers that try at the same time one wins. The same peer
// may use it again, for its first answer may have been lost. The error has code CodeUnauthorized for an unknown id or
// secret, CodeInviteRevoked, CodeInviteUsed or CodeInviteExpired.
func (s *Store) UseInvite(ctx context.Context, id string, secretHash []byte, by core.PeerID, nickname string, now time.Time) error {
	err := s.invite(ctx, id, func(tx *sql.Tx, i Invite) error {
		switch {
		case subtle.ConstantTimeCompare(i.SecretHash, secretHash) != 1:
			return core.Errorf(core.CodeNotFound, "no invite %s with that secret", id)
		case i.Revoked:
			return core.Errorf(core.CodeInviteRevoked, "this invite has been taken back")
		case i.UsedBy == by:
			return nil
		case !i.UsedBy.IsZero():
			return core.Errorf(core.CodeInviteUsed, "this invite has been used by another PC")
		case !now.Before(i.Expires):
			return core.Errorf(core.CodeInviteExpired, "this invite has expired")
		}
		_, err := tx.ExecContext(ctx, "UPDATE invite SET used_by = ?, used_at = ?, nickname = ? WHERE id = ?",
			by.String(), now.Unix(), nickname, id)
		return err
	})
	if core.CodeOf(err) == core.CodeNotFound {
		return core.Errorf(core.CodeUnauthorized, "the PC that wrote this invite does not know it")
	}
	return err
}

// invite runs change on one invite in a transaction.
func (s *Store) invite(ctx context.Context, id string, change func(*sql.Tx, Invite) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store: invite: %w", err)
	}
	defer tx.Rollback()
	i, err := scanInvite(tx.QueryRowContext(ctx, "SELECT "+inviteColumns+" FROM invite WHERE id = ?", id))
	if errors.Is(err, sql.ErrNoRows) {
		return core.Errorf(core.CodeNotFound, "there is no invite %s", id)
	}
	if err != nil {
		return fmt.Errorf("store: invite: %w", err)
	}
	if err := change(tx, i); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("store: invite: %w", err)
	}
	return nil
}

// Admissions returns the signed records of who belongs to the swarm.
func (s *Store) Admissions(ctx context.Context) ([][]byte, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT record FROM admission ORDER BY peer_id")
	if err != nil {
		return nil, fmt.Errorf("store: admissions: %w", err)
	}
	defer rows.Close()
	var out [][]byte
	for rows.Next() {
		var record []byte
		if err := rows.Scan(&record); err != nil {
			return nil, fmt.Errorf("store: admissions: %w", err)
		}
		out = append(out, record)
	}
	return out, rows.Err()
}

// SaveAdmission keeps the signed record that admits a peer.
func (s *Store) SaveAdmission(ctx context.Context, id core.PeerID, record []byte) error {
	return s.exec(ctx, "save admission", `INSERT INTO admission (peer_id, record) VALUES (?, ?)
		ON CONFLICT (peer_id) DO UPDATE SET record = excluded.record`, id.String(), record)
}

// Peer is a peer that this node has met.
type Peer struct {
	ID           core.PeerID
	Nickname     string
	Addresses    []string // multiaddrs without the peer's id
	LastSeen     time.Time
	Trust        float64   // 0 to 1
	RefusedUntil time.Time // zero when it is welcome
	Anchor       bool
}

// Peers returns the peers that this node has met, the last seen first.
func (s *Store) Peers(ctx context.Context) ([]Peer, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT peer_id, nickname, addresses, last_seen, trust, refused_until, anchor
		FROM peer ORDER BY last_seen DESC, peer_id`)
	if err != nil {
		return nil, fmt.Errorf("store: peers: %w", err)
	}
	defer rows.Close()
	var out []Peer
	for rows.Next() {
		var p Peer
		var id, addresses string
		var seen, refused int64
		if err := rows.Scan(&id, &p.Nickname, &addresses, &seen, &p.Trust, &refused, &p.Anchor); err != nil {
			return nil, fmt.Errorf("store: peers: %w", err)
		}
		if p.ID, err = core.ParsePeerID(id); err != nil {
			return nil, fmt.Errorf("store: peers: %w", err)
		}
		p.Addresses, p.LastSeen = strings.Fields(addresses), time.Unix(seen, 0)
		if refused > 0 {
			p.RefusedUntil = time.Unix(refused, 0)
		}
		out = append(out, p)
	}
	return out, rows.Err()
}

// SavePeer keeps what is known of a peer.
func (s *Store) SavePeer(ctx context.Context, p Peer) error {
	var refused int64
	if !p.RefusedUntil.IsZero() {
		refused = p.RefusedUntil.Unix()
	}
	return s.exec(ctx, "save peer", `INSERT INTO peer (peer_id, nickname, addresses, last_seen, trust, refused_until, anchor)
		VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (peer_id) DO UPDATE SET nickname = excluded.nickname,
		addresses = excluded.addresses, last_seen = excluded.last_seen, trust = excluded.trust,
		refused_until = excluded.refused_until, anchor = excluded.anchor`,
		p.ID.String(), p.Nickname, strings.Join(p.Addresses, "\n"), p.LastSeen.Unix(), p.Trust, refused, p.Anchor)
}

// DeletePeer forgets what is known of a peer.
func (s *Store) DeletePeer(ctx context.Context, id core.PeerID) error {
	return s.exec(ctx, "delete peer", "DELETE FROM peer WHERE peer_id = ?", id.String())
}

// ForgetSwarm removes the invites, admissions and peers, all or nothing: the node leaves its swarm.
func (s *Store) ForgetSwarm(ctx context.Context) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store: forget swarm: %w", err)
	}
	defer tx.Rollback()
	for _, table := range []string{"invite", "admission", "peer", "swarm_change"} {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+table); err != nil {
			return fmt.Errorf("store: forget swarm: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("store: forget swarm: %w", err)
	}
	return nil
}
