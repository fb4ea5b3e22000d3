package bench

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// chart draws lines into an SVG of fixed proportions; colours and type are the page's.
type chart struct {
	x, y axis
	grid strings.Builder
	data strings.Builder
}

type xy struct{ x, y float64 }

// axis maps values to 0..1.
type axis func(float64) float64

// The plot inside the drawing, in its units.
const (
	chartWidth  = 640
	chartHeight = 220
	plotLeft    = 74
	plotRight   = 628
	plotTop     = 12
	plotBottom  = 192
)

func scale(from, to float64) axis {
	return func(v float64) float64 { return (v - from) / (to - from) }
}

// scaleBy gives equal room to equal factors.
func scaleBy(from, to float64) axis {
	linear := scale(math.Log(from), math.Log(to))
	return func(v float64) float64 { return linear(math.Log(v)) }
}

func newChart(x, y axis) *chart { return &chart{x: x, y: y} }

func (c *chart) at(p xy) (x, y float64) {
	return plotLeft + c.x(p.x)*(plotRight-plotLeft), plotBottom - c.y(p.y)*(plotBottom-plotTop)
}

func (c *chart) column(v float64, name string) {
	if f := c.x(v); f < 0 || f > 1 {
		return
	}
	x, _ := c.at(xy{v, 0})
	fmt.Fprintf(&c.grid, `<path class="grid" d="M%.1f %d V%d"/><text class="tick" x="%.1f" y="%d" text-anchor="middle">%s</text>`,
		x, plotTop, plotBottom, x, plotBottom+18, name)
}

func (c *chart) row(v float64, name string) {
	f := c.y(v)
	if f < 0 || f > 1 {
		return
	}
	y := plotBottom - f*(plotBottom-plotTop)
	fmt.Fprintf(&c.grid, `<path class="grid" d="M%d %.1f H%d"/><text class="tick" x="%d" y="%.1f" text-anchor="end">%s</text>`,
		plotLeft, y, plotRight, plotLeft-8, y+4, name)
}

func (c *chart) line(class string, path []xy) {
	var d strings.Builder
	for i, p := range path {
		x, y := c.at(p)
		fmt.Fprintf(&d, "%c%.1f %.1f", "ML"[min(i, 1)], x, y)
	}
	fmt.Fprintf(&c.data, `<path class="curve %s" d="%s"/>`, class, d.String())
}

// svg gives the drawing. Everything in it was made here: numbers, and names from a fixed list.
func (c *chart) svg(title string) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %d %d" role="img" aria-label="%s">%s%s</svg>`,
		chartWidth, chartHeight, template.HTMLEscapeString(title), c.grid.String(), c.data.String()))
}

// ticks are round values from 0 to at most top, four to eight of them.
func ticks(top float64) (vs []float64) {
	if top <= 0 {
		return nil
	}
	step := math.Pow(10, math.Floor(math.Log10(top)))
	for _, part := range []float64{0.2, 0.5, 1} {
		if top/(step*part) <= 8 {
			step *= part
			break
		}
	}
	for i := 0; float64(i)*step <= top; i++ {
		vs = append(vs, math.Round(float64(i)*step*1e6)/1e6)
	}
	return vs
}
