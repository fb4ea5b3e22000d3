package rules

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

// Limits, in lines unless the name says otherwise.
const (
	maxFunction      = 60
	maxFile          = 500
	maxTestFunction  = 120
	maxTestFile      = 800
	maxContract      = 120
	maxContractLogic = 3 // statements in a function of a contract
	maxFields        = 25
	maxMethods       = 5
)

// contractFiles hold types, methods and duties.
var contractFiles = []string{"journal/journal.go", "bus/bus.go", "gateway/transport/transport.go", "app/app.go"}

// written are the endings of files that people write as code.
var written = []string{".go", ".ts", ".tsx", ".js", ".mjs", ".css"}

func checkSizes(t *Tree) []Problem     { return t.over(t.sizes()) }
func checkContracts(t *Tree) []Problem { return t.over(t.contracts()) }

func (t *Tree) sizes() (ms []measure) {
	for _, text := range t.Texts {
		if slices.Contains(written, path.Ext(text.Path)) && !strings.Contains(text.Body, "// Code generated ") && !strings.Contains(text.Path, "testdata/") {
			ms = append(ms, measure{kind: "file", path: text.Path, size: strings.Count(text.Body, "\n"), limit: fileLimit(text.Path), text: "lines; split it by noun or verb, each file one thing"})
		}
	}
	for _, f := range t.Files {
		if ast.IsGenerated(f.AST) {
			continue
		}
		for _, d := range f.AST.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				limit := maxFunction
				if f.Test || suite(f.Dir) {
					limit = maxTestFunction
				}
				ms = append(ms, measure{"function", f.Path, funcName(d), t.line(d.Type), t.funcLines(d), limit, "lines; give a step of it a name of its own"})
			case *ast.GenDecl:
				ms = append(ms, t.typeSizes(f, d)...)
			}
		}
	}
	return ms
}

func fileLimit(p string) int {
	if strings.HasSuffix(p, "_test.go") || strings.Contains(path.Base(p), ".test.") || suite(path.Dir(p)) {
		return maxTestFile
	}
	return maxFile
}

// funcLines counts from the word func to the closing brace.
func (t *Tree) funcLines(d *ast.FuncDecl) int {
	return t.fset.Position(d.End()).Line - t.fset.Position(d.Type.Pos()).Line + 1
}

func (t *Tree) typeSizes(f *File, d *ast.GenDecl) (ms []measure) {
	for _, s := range d.Specs {
		spec, ok := s.(*ast.TypeSpec)
		if !ok {
			continue
		}
		switch x := spec.Type.(type) {
		case *ast.StructType:
			ms = append(ms, measure{"struct", f.Path, spec.Name.Name, t.line(spec), fields(x.Fields), maxFields, "fields; some of them belong together, in a type with a name"})
		case *ast.InterfaceType:
			ms = append(ms, measure{"interface", f.Path, spec.Name.Name, t.line(spec), fields(x.Methods), maxMethods, "methods; facts are a struct, duties of different callers are different interfaces"})
		}
	}
	return ms
}

// fields counts names; what is embedded counts as one.
func fields(l *ast.FieldList) (n int) {
	for _, field := range l.List {
		n += max(1, len(field.Names))
	}
	return n
}

func (t *Tree) contracts() (ms []measure) {
	for _, f := range t.Files {
		if !slices.Contains(contractFiles, f.Path) {
			continue
		}
		ms = append(ms, measure{kind: "contract", path: f.Path, size: strings.Count(f.Body, "\n"), limit: maxContract, text: "lines; a contract is read in one go, the rest belongs into another file"})
		for _, d := range f.AST.Decls {
			if d, ok := d.(*ast.FuncDecl); ok {
				ms = append(ms, measure{"logic", f.Path, funcName(d), t.line(d.Type), logic(d), maxContractLogic, "statements; a contract file holds types, methods and duties, logic goes into a file beside it"})
			}
		}
	}
	return ms
}

// logic counts statements; a loop, a goroutine, a select or a lock is never trivial.
func logic(d *ast.FuncDecl) (n int) {
	ast.Inspect(d, func(x ast.Node) bool {
		switch x := x.(type) {
		case *ast.ForStmt, *ast.RangeStmt, *ast.GoStmt, *ast.SelectStmt:
			n += maxContractLogic + 1
		case *ast.BlockStmt:
			n += len(x.List)
		case *ast.UnaryExpr:
			if x.Op == token.ARROW {
				n += maxContractLogic + 1
			}
		}
		return true
	})
	return n
}
