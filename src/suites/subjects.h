/* The subjects of MMLU (arXiv 2009.03300), and the group that each belongs to. */
#ifndef SUITES_SUBJECTS_H
#define SUITES_SUBJECTS_H

struct subject {
    const char *name, *group;
};

extern const struct subject mmlu_subjects[]; /* up to a row without a name */

#endif
