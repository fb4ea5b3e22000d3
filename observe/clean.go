package observe

import (
	"fmt"
	"log/slog"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// redacted stands where a secret was.
const redacted = "[redacted]"

// secretKeys are parts of a key that name a secret, in small letters; "access_token" and "clientSecret" do too.
var secretKeys = []string{"token", "secret", "authorization", "password", "passwd", "cookie", "credential", "apikey", "api_key", "api-key", "private"}

// publicKeys name no secret although they look so.
var publicKeys = []string{"token_id", "tokens", "token_age", "token_expires"}

func secretKey(key string) bool {
	key = strings.ToLower(key)
	return !slices.Contains(publicKeys, key) &&
		slices.ContainsFunc(secretKeys, func(s string) bool { return strings.Contains(key, s) })
}

// cleanAttr is the slog ReplaceAttr of a Logger. Attributes of a group with a secret name are secret too.
func cleanAttr(groups []string, a slog.Attr) slog.Attr {
	if secretKey(a.Key) || slices.ContainsFunc(groups, secretKey) {
		return slog.String(cleanText(a.Key), redacted)
	}
	switch v := a.Value; v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(cleanText(v.String()))
	case slog.KindDuration: // as a number nobody would know the unit
		a.Value = slog.StringValue(v.Duration().String())
	case slog.KindAny:
		a.Value = slog.StringValue(cleanText(describe(v.Any())))
	}
	a.Key = cleanText(a.Key)
	return a
}

// describe turns a value of any type into text. Of types that cannot say themselves what they are only the name is
// written: nobody has checked what is in them.
func describe(v any) (text string) {
	defer func() {
		if recover() != nil { // a nil pointer with methods that do not expect it
			text = fmt.Sprintf("(%T)", v)
		}
	}()
	switch v := v.(type) {
	case nil:
		return "none"
	case error:
		return v.Error()
	case fmt.Stringer:
		return v.String()
	case []string:
		if len(v) > 16 {
			return strings.Join(v[:16], ", ") + fmt.Sprintf(", and %d more", len(v)-16)
		}
		return strings.Join(v, ", ")
	case []byte:
		return fmt.Sprintf("(%d bytes)", len(v))
	}
	if s := reflect.ValueOf(v); s.Kind() == reflect.String { // a name, such as that of a channel
		return s.String()
	}
	return fmt.Sprintf("(%T)", v)
}

// secretLooks finds secrets by their look, wherever they stand: a JSON Web Token, what follows Bearer or Basic, the
// credential in a list of subprotocols, the value of a secret key in a query or in JSON.
var secretLooks = regexp.MustCompile(`(?i)\beyJ[\w-]{6,}\.[\w-]+(?:\.[\w-]*)?` +
	`|\b(?:bearer|basic)\s+[\w.~+/=-]+` +
	`|\bcarillon\.token\.[^\s,"]+` +
	`|(?:token|secret|authorization|password|cookie|api[_-]?key)["']?\s*[=:]\s*["']?(?:bearer\s+|basic\s+)?[^\s&"',;]+`)

// suspicions must be in a text, in whatever case, for secretLooks to find something there.
var suspicions = []string{"eyj", "bearer", "basic", "token", "secret", "authorization", "password", "cookie", "api"}

// cleanText cuts a text, hides secrets in it and replaces what could do something to a terminal. Line ends and the
// other control characters of ASCII are left to the handlers, which escape them.
func cleanText(s string) string {
	if plainText(s) {
		return s
	}
	all := len(s)
	s = cutAt(s, 2*maxValue) // a bound for the search; a secret that crosses it is found by its beginning
	lower := strings.ToLower(s)
	if slices.ContainsFunc(suspicions, func(w string) bool { return strings.Contains(lower, w) }) {
		s = secretLooks.ReplaceAllString(s, redacted)
	}
	s = strings.Map(visible, strings.ToValidUTF8(s, "\uFFFD"))
	if all <= 2*maxValue && len(s) <= maxValue {
		return s
	}
	return fmt.Sprintf("%s… (%d bytes)", cutAt(s, maxValue), all)
}

// plainText tells texts that need no second look: short words without a suspicion.
func plainText(s string) bool {
	if len(s) > 24 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '=' || c == ':' || c == '.' {
			return false
		}
	}
	return !strings.ContainsAny(s, " ")
}

// visible replaces characters that are not shown but obeyed: the controls beyond ASCII, and marks of direction.
func visible(r rune) rune {
	if r >= 0x7f && !unicode.IsPrint(r) {
		return '\uFFFD'
	}
	return r
}

// cutAt cuts before the character that would end beyond n bytes.
func cutAt(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
