package wire
import ("testing";"encoding/json")
func BenchmarkRef(b *testing.B){ q:=publish100(); fr:=JSON.AppendRequest(nil,&q)
 b.Run("valid",func(b *testing.B){for b.Loop(){json.Valid(fr)}})
 b.Run("unmarshal",func(b *testing.B){ for b.Loop(){ var x struct{Type string; ID uint64; Channel string; Idem string; Data json.RawMessage}; json.Unmarshal(fr,&x)}})
 b.Run("clear",func(b *testing.B){ var f fields; for b.Loop(){ clear(f.v[:]) }})
}
