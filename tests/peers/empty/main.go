// Command empty does nothing: the least that a start of a Go program takes.
package main

func main() {}
