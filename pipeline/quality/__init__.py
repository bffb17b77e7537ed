"""The quality of a model's answers: metrics of each kind of task, in numpy alone.

A metric looks at the answers once and keeps what each row contributes (a Statistic). Its value under weights of the rows then costs a
product of matrices, so that a bootstrap of a thousand draws needs no second look. Two models that are weighted alike are compared in pairs.
"""
