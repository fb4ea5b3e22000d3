package rules

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

// maxPackageComment is in lines.
const maxPackageComment = 12

var bannedPackages = []string{"util", "utils", "common", "helper", "helpers", "misc", "base", "types", "manager"}

func checkPackageNames(t *Tree) (found []Problem) {
	for _, p := range t.Packages {
		name := strings.TrimSuffix(p.Name, "_test")
		if slices.Contains(bannedPackages, name) || slices.Contains(bannedPackages, path.Base(p.Dir)) {
			found = append(found, Problem{Path: p.Dir, Text: "no package is called " + name + ": name it after what it hides, or put its parts where they are used"})
		}
	}
	return found
}

func checkPackageComments(t *Tree) (found []Problem) {
	for _, p := range t.Packages {
		files := p.sources()
		if len(files) == 0 || ignored(files) {
			continue
		}
		home := path.Join(p.Dir, p.Name+".go")
		commented := slices.DeleteFunc(files, func(f *File) bool { return f.AST.Doc == nil })
		if len(commented) == 0 {
			found = append(found, Problem{Path: p.Dir, Text: "package has no comment: say in " + home + " or doc.go what it owns, what it must never do and where to start reading"})
		}
		for i, f := range commented {
			found = append(found, t.checkPackageComment(f, home, i)...)
		}
	}
	return found
}

func (t *Tree) checkPackageComment(f *File, home string, nth int) (found []Problem) {
	doc := f.AST.Doc
	say := func(format string, args ...any) {
		found = append(found, Problem{f.Path, t.line(doc), fmt.Sprintf(format, args...)})
	}
	if nth > 0 {
		say("second package comment: keep one, and put a blank line between this one and its package clause")
	}
	if f.Path != home && path.Base(f.Path) != "doc.go" {
		say("package comment belongs into %s or doc.go, where people look for it", home)
	}
	if n := t.lines(doc); n > maxPackageComment {
		say("package comment has %d lines: %d are enough, the rest belongs to the things it speaks of", n, maxPackageComment)
	}
	if name := f.AST.Name.Name; name != "main" && !strings.HasPrefix(doc.Text(), "Package "+name+" ") {
		say("package comment should begin with %q", "Package "+name)
	}
	return found
}

// ignored tells a set of files that no build takes: scripts behind "//go:build ignore".
func ignored(files []*File) bool {
	return !slices.ContainsFunc(files, func(f *File) bool { return !strings.Contains(f.Body, "//go:build ignore") })
}

// selfEvident methods say by their name all there is to say.
var selfEvident = []string{"Error", "String", "Unwrap"}

func checkExportedComments(t *Tree) (found []Problem) {
	for _, f := range t.Files {
		if f.Test || f.AST.Name.Name == "main" || ast.IsGenerated(f.AST) {
			continue
		}
		say := func(n ast.Node, name string) {
			found = append(found, Problem{f.Path, t.line(n), name + " is exported without a comment: say what a caller may rely on (guarantee, units, errors), or unexport it"})
		}
		for _, d := range f.AST.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Doc == nil && exportedFunc(d) {
					say(d, funcName(d))
				}
			case *ast.GenDecl:
				checkExportedSpecs(d, say)
			}
		}
	}
	return found
}

func exportedFunc(d *ast.FuncDecl) bool {
	receiver, _, method := strings.Cut(funcName(d), ".")
	return d.Name.IsExported() && (!method || ast.IsExported(receiver) && !slices.Contains(selfEvident, d.Name.Name))
}

func checkExportedSpecs(d *ast.GenDecl, say func(ast.Node, string)) {
	typed := false // constants of a type are told by the comment of that type
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
				say(s, s.Name.Name)
			}
			if i, ok := s.Type.(*ast.InterfaceType); ok && s.Name.IsExported() {
				checkMethodComments(s.Name.Name, i, say)
			}
		case *ast.ValueSpec:
			typed = typed || d.Tok == token.CONST && s.Type != nil
			for _, name := range s.Names {
				if name.IsExported() && !typed && d.Doc == nil && s.Doc == nil && s.Comment == nil {
					say(s, name.Name)
				}
			}
		}
	}
}

func checkMethodComments(of string, i *ast.InterfaceType, say func(ast.Node, string)) {
	for _, m := range i.Methods.List {
		for _, name := range m.Names {
			if name.IsExported() && m.Doc == nil && m.Comment == nil {
				say(m, of+"."+name.Name)
			}
		}
	}
}

// funcName is "Func", or "Type.Method".
func funcName(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return d.Name.Name
	}
	receiver := d.Recv.List[0].Type
	for {
		switch x := receiver.(type) {
		case *ast.StarExpr:
			receiver = x.X
		case *ast.IndexExpr:
			receiver = x.X
		case *ast.IndexListExpr:
			receiver = x.X
		case *ast.Ident:
			return x.Name + "." + d.Name.Name
		default:
			return d.Name.Name
		}
	}
}
