package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// WebSocket opcodes, RFC 6455 section 5.2.
const (
	opText   = 1
	opBinary = 2
	opClose  = 8
	opPing   = 9
	opPong   = 10
)

var errFrame = errors.New("the server sent a frame that the generator does not take (masked, fragmented or too long)")

// maxFrame is the longest frame that is taken, in bytes.
const maxFrame = 1 << 20

// nextFrame finds the first frame of b without copying. size is the whole frame's; 0 says that more bytes are needed.
func nextFrame(b []byte) (op byte, payload []byte, size int, err error) {
	if len(b) < 2 {
		return 0, nil, 0, nil
	}
	head, n := 2, int(b[1]&127)
	switch {
	case b[0]&0xf0 != 0x80 || b[1]&0x80 != 0:
		return 0, nil, 0, errFrame
	case n == 126:
		if len(b) < 4 {
			return 0, nil, 0, nil
		}
		head, n = 4, int(binary.BigEndian.Uint16(b[2:]))
	case n == 127:
		if len(b) < 10 {
			return 0, nil, 0, nil
		}
		long := binary.BigEndian.Uint64(b[2:])
		if long > maxFrame {
			return 0, nil, 0, errFrame
		}
		head, n = 10, int(long)
	}
	if len(b) < head+n {
		return 0, nil, 0, nil
	}
	return b[0] & 15, b[head : head+n], head + n, nil
}

// mask is the one key the generator masks with. RFC 6455 wants an unpredictable one to protect proxies from scripts;
// on loopback there is nobody to protect, and the server's work is the same.
var mask = [4]byte{0x5a, 0xc3, 0x3c, 0xa5}

// appendFrame appends a masked frame.
func appendFrame(dst []byte, op byte, payload []byte) []byte {
	dst = append(dst, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = append(dst, 0x80|126, byte(n>>8), byte(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	dst = append(dst, mask[:]...)
	for i, c := range payload {
		dst = append(dst, c^mask[i&3])
	}
	return dst
}

// The key of every handshake is that of the RFC's example: its answer is known without computing.
const (
	handshakeKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	handshakeAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

func handshake(host, path, protocol string) []byte {
	b := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n", path, host, handshakeKey)
	if protocol != "" {
		b = fmt.Appendf(b, "Sec-WebSocket-Protocol: %s\r\n", protocol)
	}
	return append(b, "\r\n"...)
}
