module analyser

go 1.22
