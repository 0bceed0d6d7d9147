package transport

// eventResult is what became of one event of a publish request.
type eventResult struct {
	ID        string `json:"id"`
	Cursor    string `json:"cursor"`
	Duplicate bool   `json:"duplicate"`
}
