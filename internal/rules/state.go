package rules

import (
	"go/ast"
	"go/token"
	"go/types"
	"path"
	"slices"
)

// spawners may use the go statement: each of them owns goroutines and waits for them.
var spawners = []string{
	"gateway/transport", "gateway/transport/*", "gateway/hub", "worker",
	"journal/*", "store/*", "bus/*", "node", "bench", "cmd/*",
}

func checkGoroutines(t *Tree) []Problem { return t.over(t.goroutines()) }
func checkGlobals(t *Tree) []Problem    { return t.over(t.globals()) }
func checkSleeps(t *Tree) []Problem     { return t.over(t.sleeps()) }

// goroutines counts go statements outside the packages that own goroutines.
func (t *Tree) goroutines() (ms []measure) {
	for _, f := range t.Files {
		if f.Test || matchesAny(spawners, f.Dir) {
			continue
		}
		m := measure{kind: "go", path: f.Path, text: "go statements; use WaitGroup.Go of an owner that waits, or let the caller run it"}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if s, ok := n.(*ast.GoStmt); ok {
				m.size, m.line = m.size+1, t.line(s)
			}
			return true
		})
		ms = append(ms, m)
	}
	return ms
}

func checkInit(t *Tree) (found []Problem) {
	for _, f := range t.Files {
		for _, d := range f.AST.Decls {
			if d, ok := d.(*ast.FuncDecl); ok && d.Recv == nil && d.Name.Name == "init" {
				found = append(found, Problem{f.Path, t.line(d.Type), "no init function: make it a constructor that node calls, or a table in a declaration"})
			}
		}
	}
	return found
}

// sleeps counts time.Sleep in tests, outside functions that work with synctest, where time is not real.
func (t *Tree) sleeps() (ms []measure) {
	for _, f := range t.Files {
		if !f.Test && !suite(f.Dir) {
			continue
		}
		m := measure{kind: "sleep", path: f.Path, text: "sleeps in a test; wait for the event itself, or put the test into synctest.Test"}
		for _, d := range f.AST.Decls {
			if lines := t.uses(f, d, "time.Sleep"); len(lines) > 0 && len(t.uses(f, d, "testing/synctest.Test", "testing/synctest.Wait")) == 0 {
				m.size, m.line = m.size+len(lines), lines[0]
			}
		}
		ms = append(ms, m)
	}
	return ms
}

// uses gives the lines on which n names one of these things of other packages.
func (t *Tree) uses(f *File, n ast.Node, names ...string) (lines []int) {
	ast.Inspect(n, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && slices.Contains(names, f.qualified(sel)) {
			lines = append(lines, t.line(sel))
		}
		return true
	})
	return lines
}

// globals counts, per package-level variable, the places that change it; one that exists only to be changed (a lock,
// an atomic, a channel) counts too. Variables of test files are free: benchmarks need somewhere to put results.
func (t *Tree) globals() (ms []measure) {
	for _, p := range t.Packages {
		uses := t.resolve(p)
		changes := map[types.Object]*measure{}
		note := func(o types.Object, f *File) {
			at := t.fset.Position(o.Pos())
			if m := changes[o]; m != nil {
				m.size++
				return
			}
			changes[o] = &measure{kind: "global", path: at.Filename, name: o.Name(), line: at.Line, size: 1,
				text: "changes of a package-level variable, first in " + path.Base(f.Path) + "; make it a field of what owns it, set by a constructor"}
		}
		for _, f := range p.Files {
			t.changesIn(f, uses, note)
		}
		for _, m := range changes {
			ms = append(ms, *m)
		}
	}
	return ms
}

func (t *Tree) changesIn(f *File, uses *types.Info, note func(types.Object, *File)) {
	change := func(e ast.Expr) {
		if e == nil {
			return
		}
		if o := uses.Uses[root(e)]; o != nil && t.global(o) {
			note(o, f)
		}
	}
	ast.Inspect(f.AST, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, e := range n.Lhs {
				change(e)
			}
		case *ast.IncDecStmt:
			change(n.X)
		case *ast.RangeStmt:
			if n.Tok == token.ASSIGN {
				change(n.Key)
				change(n.Value)
			}
		case *ast.SendStmt:
			change(n.Chan)
		case *ast.CallExpr:
			if b, ok := n.Fun.(*ast.Ident); ok && len(n.Args) > 0 && (b.Name == "delete" || b.Name == "clear" || b.Name == "close") {
				change(n.Args[0])
			}
		case *ast.ValueSpec:
			for _, name := range n.Names {
				if o := uses.Defs[name]; o != nil && t.global(o) && f.mutable(n) {
					note(o, f)
				}
			}
		}
		return true
	})
}

// global tells variables of a package; those of test files, and the blank one, do not count. The name of an imported
// package stands for the variables in it.
func (t *Tree) global(o types.Object) bool {
	switch o := o.(type) {
	case *types.PkgName:
		return true
	case *types.Var:
		file := t.fset.Position(o.Pos()).Filename
		return o.Name() != "_" && o.Parent() != nil && o.Pkg() != nil && o.Parent() == o.Pkg().Scope() && !isTest(file)
	}
	return false
}

// root is the variable at the left end of a.b[c].d.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// mutableTypes has no sync.Pool: what lies in a pool means nothing.
var mutableTypes = []string{
	"sync.Mutex", "sync.RWMutex", "sync.Once", "sync.Map", "sync.WaitGroup", "sync/atomic.Bool", "sync/atomic.Int32",
	"sync/atomic.Int64", "sync/atomic.Uint32", "sync/atomic.Uint64", "sync/atomic.Pointer", "sync/atomic.Value",
}

// mutable tells declarations of things that exist only to be changed.
func (f *File) mutable(s *ast.ValueSpec) (found bool) {
	look := func(e ast.Expr) {
		if e == nil {
			return
		}
		ast.Inspect(e, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncLit, *ast.FuncType:
				return false
			case *ast.SelectorExpr:
				found = found || slices.Contains(mutableTypes, f.qualified(n))
			case *ast.ChanType:
				found = true
			}
			return true
		})
	}
	look(s.Type)
	for _, v := range s.Values {
		look(v)
	}
	return found
}
