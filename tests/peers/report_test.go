package peers

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"time"

	"accountservice/tests/harness"
)

// Marks around the table in the Markdown file.
const (
	tableBegin = "<!-- peers -->\n"
	tableEnd   = "<!-- /peers -->"
)

// figure is what a row had in a round: answers a second, or the median of its times.
func (g *group) figure(r result) float64 {
	if g.times {
		return r.quantile(0.5).Seconds()
	}
	return r.rate
}

// ratio is the median of the row's ratios to the first row, each of one round.
func (g *group) ratio(of *row) float64 {
	ratios := make([]float64, len(of.rounds))
	for i, r := range of.rounds {
		ratios[i] = g.figure(r) / g.figure(g.rows[0].rounds[i])
	}
	return harness.Median(ratios)
}

// ratioByCPU is the median of the first row's CPU for an answer to this row's, each of one round: what the ratio would be
// on a machine with nothing else to do. It is 0 if a CPU time is not known.
func (g *group) ratioByCPU(of *row) float64 {
	ratios := make([]float64, len(of.rounds))
	for i, r := range of.rounds {
		if first := g.rows[0].rounds[i].cpu; r.cpu > 0 {
			ratios[i] = float64(first) / float64(r.cpu)
		}
	}
	return harness.Median(ratios)
}

// overRounds is the median over the rounds of a row.
func overRounds(r *row, of func(result) float64) float64 {
	var all []float64
	for _, round := range r.rounds {
		all = append(all, of(round))
	}
	return harness.Median(all)
}

// report is the table as Markdown.
func report(groups []*group, o options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d cores, %s, %s; reads by %s, %d connections; %d rounds of %s, medians.\n\n",
		processor(), runtime.NumCPU(), runtime.Version(), time.Now().UTC().Format(time.DateOnly), o.generator, readers, o.rounds, o.lasts)
	b.WriteString("| | figure | ratio | by CPU | goal | CPU each | p50 | p99 | p99.9 | refused |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, g := range groups {
		fmt.Fprintf(&b, "| **%s** | | | | | | | | | |\n", g.title)
		for _, r := range g.rows {
			fmt.Fprintf(&b, "| %s | %s | %.2f | %s | %s | %s | %s |\n", r.peer, g.show(r), g.ratio(r), byCPU(g, r), goal(g, r), cpu(r), strings.Join(latencies(r), " | "))
		}
	}
	return b.String()
}

func (g *group) show(r *row) string {
	figure := overRounds(r, g.figure)
	if g.times {
		return fmt.Sprintf("%.2f ms", figure*1000)
	}
	return fmt.Sprintf("%.0f/s", figure)
}

func byCPU(g *group, r *row) string {
	if ratio := g.ratioByCPU(r); ratio > 0 {
		return fmt.Sprintf("%.2f", ratio)
	}
	return ""
}

// cpu is the median of what the server computed for one answer.
func cpu(r *row) string {
	each := overRounds(r, func(round result) float64 { return float64(round.cpu.Nanoseconds()) / 1000 })
	if each == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f µs", each)
}

func goal(g *group, r *row) string {
	switch {
	case r.goal == 0:
		return ""
	case g.times:
		return fmt.Sprintf("≤ %g", r.goal)
	default:
		return fmt.Sprintf("≥ %g", r.goal)
	}
}

// latencies are the last four cells of a row, empty where the generator does not know them.
func latencies(r *row) []string {
	if len(r.rounds[0].latency) == 0 && r.rounds[0].refused == 0 {
		return []string{"", "", "", ""}
	}
	cells := []string{}
	for _, q := range []float64{0.5, 0.99, 0.999} {
		cells = append(cells, fmt.Sprintf("%.1f ms", 1000*overRounds(r, func(round result) float64 { return round.quantile(q).Seconds() })))
	}
	refused := overRounds(r, func(round result) float64 {
		return 100 * float64(round.refused) / float64(max(1, round.refused+len(round.latency)))
	})
	return append(cells, fmt.Sprintf("%.0f %%", refused))
}

// processor names the machine's processor.
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	if found := regexp.MustCompile(`(?m)^model name\s*: (.*)$`).FindSubmatch(text); found != nil {
		return string(found[1])
	}
	return runtime.GOARCH
}

// tolerance is how far from its goal a ratio may be in the short form: on a busy machine only much is sure.
const tolerance = 0.6

// judge returns an error that names each row whose ratios are all far from its goal.
func judge(groups []*group) error {
	var far []string
	for _, g := range groups {
		for _, r := range g.rows {
			slow := max(g.ratio(r), g.ratioByCPU(r)) < r.goal*tolerance
			if g.times {
				slow = g.ratio(r) > r.goal/tolerance
			}
			if r.goal != 0 && slow {
				far = append(far, fmt.Sprintf("%s, %s: ratio %.2f, the goal is %g", g.title, r.peer, g.ratio(r), r.goal))
			}
		}
	}
	if far != nil {
		return fmt.Errorf("far from the goals:\n%s", strings.Join(far, "\n"))
	}
	return nil
}
