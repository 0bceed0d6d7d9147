package streamgateway

import (
	"testing"
	"time"

	"github.com/streamgateway/streamgateway/controllers/fleet"
	"github.com/streamgateway/streamgateway/controllers/rollout"
	"github.com/streamgateway/streamgateway/gateway/report"
)

func TestSilentPodsOfOneBadNodeDoNotFailARevision(t *testing.T) {
	type on struct {
		node   string
		silent bool
		runs   string
	}
	for name, c := range map[string]struct {
		pods []on
		late bool
	}{
		"a pod of one node is silent, others run it": {[]on{{"n1", true, "wanted"}, {"n2", false, "wanted"}}, false},
		"all pods of one node are":                   {[]on{{"n1", true, "wanted"}, {"n1", true, "wanted"}, {"n2", false, "wanted"}}, false},
		"pods of two nodes are":                      {[]on{{"n1", true, "wanted"}, {"n2", true, "wanted"}, {"n3", false, "wanted"}}, true},
		"another pod of its node runs it":            {[]on{{"n1", true, "wanted"}, {"n1", false, "wanted"}, {"n2", false, "wanted"}}, true},
		"nobody runs it":                             {[]on{{"n1", true, "wanted"}}, true},
		"nobody else tries it":                       {[]on{{"n1", true, "wanted"}, {"n2", false, "before"}}, true},
		"nobody knows where it is":                   {[]on{{"", true, "wanted"}, {"n2", false, "wanted"}}, true},
		"nobody is silent":                           {[]on{{"n1", false, "wanted"}, {"n2", false, "wanted"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := serving()
			s.revisions = []revision{{name: "before", verdict: rollout.Healthy}, {name: "wanted", verdict: rollout.Pending, created: s.now.Add(-time.Hour)}}
			s.document.Stable.Name, s.document.Candidate.Name = "before", "wanted"
			s.pods, s.samples, s.document.CandidatePods = nil, nil, nil
			for i, one := range c.pods {
				p := podOf(wantedTemplate, true)
				p.Name, p.Spec.NodeName = string(rune('a'+i)), one.node
				s.pods = append(s.pods, p)
				if one.runs == "wanted" {
					s.document.CandidatePods = append(s.document.CandidatePods, p.Name)
				}
				if !one.silent {
					s.samples = append(s.samples, fleet.Sample{Newer: report.Report{Pod: p.Name, Serial: 7, Revision: one.runs}})
				}
			}
			if got := s.overdue(true); got != c.late {
				t.Errorf("the revision has failed: %v, want %v", got, c.late)
			}
		})
	}
}
