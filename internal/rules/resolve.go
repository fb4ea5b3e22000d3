package rules

import (
	"go/ast"
	"go/types"
	"path"
	"strings"
)

// resolve finds what each name of a package stands for, within the package. Imports are not followed, so this is fast
// and works on a tree that does not build; what depends on an import stays unknown.
func (t *Tree) resolve(p *Package) *types.Info {
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: blank{}, Error: func(error) {}, FakeImportC: true}
	files := make([]*ast.File, len(p.Files))
	for i, f := range p.Files {
		files[i] = f.AST
	}
	_, _ = conf.Check(path.Join(t.Module, p.Dir), t.fset, files, info) // errors are expected: imports are blank
	return info
}

// blank imports nothing, whatever is asked for.
type blank struct{}

func (blank) Import(p string) (*types.Package, error) {
	pkg := types.NewPackage(p, path.Base(p))
	pkg.MarkComplete()
	return pkg, nil
}

func isTest(file string) bool { return strings.HasSuffix(file, "_test.go") }
