package streamgateway

// stalledByNode tells whether the ready pods that do not run what they shall are
// all on one node, on which no pod does, while a pod on another node has taken
// the wanted revision: then it is the node, as far as anybody can tell without a
// right to read nodes. Where there is one node only, it cannot be told apart.
func (s *scope) stalledByNode() bool {
	wanted, acked := s.wanted(), map[string]bool{}
	for i := range s.samples {
		r := &s.samples[i].Newer
		acked[r.Pod] = wanted.Acked(r)
	}
	silent, answering, elsewhere := map[string]bool{}, map[string]bool{}, false
	for i := range s.pods {
		p := &s.pods[i]
		switch node := p.Spec.NodeName; {
		case !isReady(p) || node == "":
		case !acked[p.Name]:
			silent[node] = true
		default:
			answering[node] = true
			elsewhere = elsewhere || wanted.Revision(p.Name) == s.desired
		}
	}
	for node := range silent {
		return len(silent) == 1 && !answering[node] && elsewhere
	}
	return false
}
