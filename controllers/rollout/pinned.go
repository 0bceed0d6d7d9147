package rollout

// Pinned decides while a person says which revision runs, whatever became of
// it before: nothing is tried, judged or taken back. Others without a verdict
// are overtaken, as by another spec.
func Pinned(o *Observation) Decision {
	d := Decision{Run: o.Desired, Percent: 100, State: o.moving(Idle)}
	for _, r := range o.Revisions {
		if r.Verdict == Healthy {
			d.Stable = r.Name
		}
		if r.Verdict == Pending && r.Name != o.Desired {
			d.Supersede = append(d.Supersede, r.Name)
		}
	}
	return d
}
