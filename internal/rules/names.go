package rules

import (
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
)

// index knows the names a document may use: of each package its declarations, and their fields and methods.
type index struct {
	declared map[string]map[string]bool // package name → "Ident", "Type.Member"
	types    map[string]bool            // "Type.Member" of any package
	imported map[string]bool            // names of packages that are not ours
	files    map[string]bool            // base names of all files
}

var (
	pathSpan   = regexp.MustCompile(`^\.?[A-Za-z0-9_@-][A-Za-z0-9_./@-]*$`)
	pathEnding = regexp.MustCompile(`\.(go|md|ts|tsx|mjs|js|sh|json|sql|txt|html|css|yml|yaml)$`)
	nameSpan   = regexp.MustCompile(`^[*&]?([A-Za-z]\w*)\.([A-Za-z]\w*)(?:\.([A-Za-z]\w*))?(?:\(.*\))?$`)
)

// checkNamesInDocs: what the architecture calls by name exists. Paths are meant from the root of the repository;
// a file without a folder may lie anywhere.
func checkNamesInDocs(t *Tree) (found []Problem) {
	ix := t.index()
	for _, p := range t.pages() {
		if p.path != "ARCHITECTURE.md" && !strings.HasPrefix(p.path, "docs/internals/") {
			continue
		}
		for _, s := range p.spans {
			if text := t.wrongName(ix, s.text); text != "" {
				found = append(found, Problem{p.path, s.line, text})
			}
		}
	}
	return found
}

func (t *Tree) wrongName(ix *index, s string) string {
	if pathSpan.MatchString(s) && (pathEnding.MatchString(s) || strings.HasSuffix(s, "/")) {
		if !t.exists(strings.TrimSuffix(s, "/")) && (strings.Contains(s, "/") || !ix.files[s]) {
			return "speaks of " + s + ", which does not exist: mend the path"
		}
		return ""
	}
	m := nameSpan.FindStringSubmatch(s)
	if m == nil || !ast.IsExported(m[1]) && !ast.IsExported(m[2]) && ix.declared[m[1]] == nil {
		return ""
	}
	name := strings.TrimSuffix(m[2]+"."+m[3], ".")
	switch names, ours := ix.declared[m[1]]; {
	case ours && !names[name]:
		return "speaks of " + m[1] + "." + name + ", but package " + m[1] + " declares no " + name + ": mend the name"
	case ours || ix.imported[m[1]]:
		return ""
	case ast.IsExported(m[1]) && !ix.types[m[1]+"."+m[2]]:
		return "speaks of " + m[1] + "." + m[2] + ", which no type of ours has: mend the name, or write its package before it"
	case !ast.IsExported(m[1]):
		return "speaks of " + m[1] + "." + name + ", but there is no package " + m[1] + ": mend the name"
	}
	return ""
}

func (t *Tree) index() *index {
	ix := &index{map[string]map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}}
	for _, text := range t.Texts {
		ix.files[path.Base(text.Path)] = true
	}
	for _, f := range t.Files {
		for _, spec := range f.AST.Imports {
			if _, ours := t.ours(importPath(spec)); !ours {
				ix.imported[path.Base(importPath(spec))] = true
			}
		}
		if !f.Test && f.AST.Name.Name != "main" {
			ix.addFile(f)
		}
	}
	return ix
}

func (ix *index) addFile(f *File) {
	pkg := f.AST.Name.Name
	if ix.declared[pkg] == nil {
		ix.declared[pkg] = map[string]bool{}
	}
	add := func(name string) {
		ix.declared[pkg][name] = true
		ix.types[name] = ix.types[name] || strings.Contains(name, ".")
	}
	for _, d := range f.AST.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			add(funcName(d))
		case *ast.GenDecl:
			for _, s := range d.Specs {
				for _, name := range specNames(s) {
					add(name)
				}
			}
		}
	}
}

// specNames are the names a declaration makes: "Name", and "Type.Member" for fields and interface methods.
func specNames(s ast.Spec) (names []string) {
	switch s := s.(type) {
	case *ast.ValueSpec:
		for _, n := range s.Names {
			names = append(names, n.Name)
		}
	case *ast.TypeSpec:
		names = append(names, s.Name.Name)
		var members *ast.FieldList
		switch x := s.Type.(type) {
		case *ast.StructType:
			members = x.Fields
		case *ast.InterfaceType:
			members = x.Methods
		default:
			return names
		}
		for _, m := range slices.Clone(members.List) {
			for _, n := range m.Names {
				names = append(names, s.Name.Name+"."+n.Name)
			}
		}
	}
	return names
}
