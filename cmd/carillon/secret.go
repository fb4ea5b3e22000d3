package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"carillon/gateway/auth"
)

const (
	maxSecretFile = 64 << 10 // bytes
	makeSecret    = "Make one with: (umask 077; head -c 48 /dev/urandom | base64 > secret); then set CARILLON_SECRET_FILE=secret"
)

// secretFlags name the file with the key that signs and checks tokens.
type secretFlags struct {
	SecretFile string `env:"CARILLON_SECRET_FILE" placeholder:"FILE" help:"File with the secret that signs tokens."`
}

// read returns the secret, without the blanks around it, and what is questionable about its file. No error holds any
// part of the content.
func (s secretFlags) read() (secret []byte, doubts []string, err error) {
	if s.SecretFile == "" {
		return nil, nil, &failure{exitFailed, "there is no secret for tokens: CARILLON_SECRET_FILE is not set", makeSecret}
	}
	f, err := os.Open(s.SecretFile)
	if err != nil {
		return nil, nil, s.unreadable(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, nil, s.unreadable(err)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return nil, nil, s.unreadable(err)
	}
	secret = bytes.TrimSpace(raw)
	if len(raw) > maxSecretFile {
		return nil, nil, &failure{exitFailed, fmt.Sprintf("the secret file %s is larger than %d bytes", s.SecretFile, maxSecretFile), makeSecret}
	}
	if len(secret) < auth.MinSecret {
		return nil, nil, &failure{exitFailed, fmt.Sprintf("the secret in %s has %d bytes; it takes at least %d", s.SecretFile, len(secret), auth.MinSecret), makeSecret}
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		doubts = append(doubts, fmt.Sprintf("other users may read the secret file %s: chmod 600 %s", s.SecretFile, s.SecretFile))
	}
	return secret, doubts, nil
}

func (s secretFlags) unreadable(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err // its path is named below
	}
	return &failure{exitFailed, fmt.Sprintf("cannot read the secret file %s: %v", s.SecretFile, err), "CARILLON_SECRET_FILE names a file that this user can read. " + makeSecret}
}
