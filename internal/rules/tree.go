package rules

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// maxText is the largest file, in bytes, that is taken for something people wrote.
const maxText = 512 << 10

// Tree is the repository, read and parsed once.
type Tree struct {
	Module     string      // module path of go.mod
	Texts      []Text      // every text file, Go files included
	Files      []*File     // Go files of this module outside testdata
	Packages   []*Package  // Files by folder and package name
	Exceptions []Exception // of exceptions.txt

	fsys     fs.FS
	fset     *token.FileSet
	problems []Problem // found while reading
}

// Text is a file people read.
type Text struct {
	Path string
	Body string
}

// File is one Go file.
type File struct {
	Text
	Dir  string // folder from the root, "." for the root
	Test bool   // named *_test.go
	AST  *ast.File
}

// Package is the files of a folder that share a package name; the external tests of a package are one of their own.
type Package struct {
	Dir, Name string
	Files     []*File
}

var (
	unreadDirs = []string{".git", "node_modules", "bin", "dist"}
	moduleLine = regexp.MustCompile(`(?m)^module\s+(\S+)`)
)

// Load reads a repository. What cannot be parsed becomes a problem of the rule "parse", not an error.
func Load(fsys fs.FS) (*Tree, error) {
	t := &Tree{fsys: fsys, fset: token.NewFileSet()}
	mod, err := fs.ReadFile(fsys, "go.mod")
	if err != nil {
		return nil, err
	}
	if m := moduleLine.FindSubmatch(mod); m != nil {
		t.Module = string(m[1])
	}
	if err := fs.WalkDir(fsys, ".", t.visit); err != nil {
		return nil, err
	}
	t.group()
	t.readExceptions()
	return t, nil
}

func (t *Tree) visit(p string, d fs.DirEntry, err error) error {
	if err != nil {
		if d != nil && d.IsDir() {
			return err
		}
		return nil // a file that vanished while we walked
	}
	if d.IsDir() {
		if slices.Contains(unreadDirs, d.Name()) || strings.HasSuffix(p, "testdata/fuzz") {
			return fs.SkipDir
		}
		return nil
	}
	info, err := d.Info()
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxText {
		return nil
	}
	body, err := fs.ReadFile(t.fsys, p)
	if err != nil || bytes.IndexByte(body[:min(len(body), 512)], 0) >= 0 {
		return nil
	}
	text := Text{Path: p, Body: string(body)}
	t.Texts = append(t.Texts, text)
	if strings.HasSuffix(p, ".go") && !t.foreign(p) {
		t.parse(text)
	}
	return nil
}

// foreign tells files that are no part of this module: fixtures, and modules of their own.
func (t *Tree) foreign(p string) bool {
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if path.Base(dir) == "testdata" || t.exists(path.Join(dir, "go.mod")) {
			return true
		}
	}
	return false
}

func (t *Tree) parse(text Text) {
	file, err := parser.ParseFile(t.fset, text.Path, text.Body, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.problems = append(t.problems, Problem{Path: text.Path, Text: "does not parse: " + err.Error()})
		return
	}
	t.Files = append(t.Files, &File{
		Text: text, Dir: path.Dir(text.Path), Test: strings.HasSuffix(text.Path, "_test.go"), AST: file,
	})
}

func (t *Tree) group() {
	for _, f := range t.Files {
		i := slices.IndexFunc(t.Packages, func(p *Package) bool { return p.Dir == f.Dir && p.Name == f.AST.Name.Name })
		if i < 0 {
			i = len(t.Packages)
			t.Packages = append(t.Packages, &Package{Dir: f.Dir, Name: f.AST.Name.Name})
		}
		t.Packages[i].Files = append(t.Packages[i].Files, f)
	}
}

func (t *Tree) exists(p string) bool {
	_, err := fs.Stat(t.fsys, p)
	return err == nil
}

func (t *Tree) line(n ast.Node) int { return t.fset.Position(n.Pos()).Line }

func (t *Tree) lines(n ast.Node) int {
	return t.fset.Position(n.End()).Line - t.fset.Position(n.Pos()).Line + 1
}

// sources are the files of the package that end up in the program.
func (p *Package) sources() []*File {
	return slices.DeleteFunc(slices.Clone(p.Files), func(f *File) bool { return f.Test })
}

// suite tells packages that exist to test implementations of a contract.
func suite(dir string) bool { return dir != "." && strings.HasSuffix(path.Base(dir), "test") }

func checkParse(t *Tree) []Problem { return t.problems }
