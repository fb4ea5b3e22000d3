package postgres

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"pgregory.net/rapid"
)

// TestArrays: what is encoded here is what pgx encodes, byte for byte.
func TestArrays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		theirs, ours := pgtype.NewMap(), pgtype.NewMap()
		writeArrays(ours)
		for oid, value := range map[uint32]any{
			pgtype.Int8ArrayOID:  rapid.SliceOf(rapid.Int64()).Draw(t, "int8"),
			pgtype.Int4ArrayOID:  rapid.SliceOf(rapid.Int32()).Draw(t, "int4"),
			pgtype.BoolArrayOID:  rapid.SliceOf(rapid.Bool()).Draw(t, "bool"),
			pgtype.ByteaArrayOID: rapid.SliceOf(rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Just([]byte(nil)))).Draw(t, "bytea"),
		} {
			if plan := ours.PlanEncode(oid, pgtype.BinaryFormatCode, value); !strings.HasPrefix(fmt.Sprintf("%T", plan), "postgres.arrays") {
				t.Fatalf("type %d is encoded by %T", oid, plan)
			}
			want, err := theirs.Encode(oid, pgtype.BinaryFormatCode, value, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ours.Encode(oid, pgtype.BinaryFormatCode, value, []byte("before"))
			if rest, found := bytes.CutPrefix(got, []byte("before")); err != nil || !found || !bytes.Equal(rest, want) {
				t.Fatalf("%v of type %d is %x, %v, pgx says %x", value, oid, got, err, want)
			}
			if all, ok := value.([][]byte); ok && !slices.ContainsFunc(all, func(v []byte) bool { return v == nil }) {
				texts := make([]string, len(all))
				for i, v := range all {
					texts[i] = string(v)
				}
				if got, err := ours.Encode(oid, pgtype.BinaryFormatCode, texts, nil); err != nil || !bytes.Equal(got, want) && value != nil {
					t.Fatalf("%q as strings is %x, %v, pgx says %x of bytes", texts, got, err, want)
				}
			}
			for _, other := range []any{[]string{"1"}, nil, []uint64{7}} { // what is not for us is as it was
				a, errA := theirs.Encode(oid, pgtype.TextFormatCode, other, nil)
				b, errB := ours.Encode(oid, pgtype.TextFormatCode, other, nil)
				if !bytes.Equal(a, b) || (errA == nil) != (errB == nil) {
					t.Fatalf("%v of type %d is %x, %v, pgx says %x, %v", other, oid, b, errB, a, errA)
				}
			}
		}
	})
}

// TestParameters: the parameters of a statement stay what they are while all of them are encoded, however large they get, in
// statement after statement of one connection.
func TestParameters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ours := pgtype.NewMap()
		writeArrays(ours)
		var statement pgx.ExtendedQueryBuilder
		for range rapid.IntRange(1, 6).Draw(t, "statements") {
			var d pgconn.StatementDescription
			var args []any
			var want [][]byte
			for range rapid.IntRange(1, 6).Draw(t, "parameters") {
				size := rapid.SampledFrom([]int{0, 1, 7, 100, 3_000, 40_000}).Draw(t, "size")
				fill := byte(rapid.IntRange(0, 255).Draw(t, "fill"))
				var arg any
				var oid uint32
				switch rapid.IntRange(0, 3).Draw(t, "type") {
				case 0:
					arg, oid = slices.Repeat([]int64{int64(fill)}, size/8), pgtype.Int8ArrayOID
				case 1:
					arg, oid = [][]byte{bytes.Repeat([]byte{fill}, size)}, pgtype.ByteaArrayOID
				case 2:
					arg, oid = bytes.Repeat([]byte{fill}, size), pgtype.ByteaOID
				case 3:
					arg, oid = int64(fill), pgtype.Int8OID
				}
				b, err := pgtype.NewMap().Encode(oid, pgtype.BinaryFormatCode, arg, nil)
				if err != nil {
					t.Fatal(err)
				}
				d.ParamOIDs, args, want = append(d.ParamOIDs, oid), append(args, arg), append(want, b)
			}
			if err := statement.Build(ours, &d, args); err != nil {
				t.Fatal(err)
			}
			for i, v := range statement.ParamValues {
				if !bytes.Equal(v, want[i]) {
					t.Fatalf("parameter %d of %d is not what it was", i, len(args))
				}
			}
		}
	})
}
